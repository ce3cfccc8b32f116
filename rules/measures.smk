rule statistics:
    """Mean, spread, zeros, maximum and histogram of every unit of a snapshot."""
    input:
        activations="<results>/activations/{snapshot}.zarr",
        moments="<results>/moments/{snapshot}.zarr",
        inspected=ancient(inspected_of("snapshot")),
    output:
        directory("<results>/measures/statistics/{snapshot}.zarr"),
    log:
        "<logs>/statistics/{snapshot}.log",
    benchmark:
        "<benchmarks>/statistics/{snapshot}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("statistics"),
        engine="threads",
        tasks=1,
        runtime=minutes("statistics"),
    params:
        code=code_digest("steps.statistics"),
    shell:
        "python -m convergent statistics --activations {input.activations} --moments {input.moments}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads} --output {output} > {log} 2>&1"


rule correlation:
    """Correlate all units of a pair."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/correlation/{a}--{b}.zarr"),
    log:
        "<logs>/correlation/{a}--{b}.log",
    benchmark:
        "<benchmarks>/correlation/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("correlation"),
        runtime=minutes("correlation"),
    params:
        code=code_digest("steps.correlation"),
    shell:
        "python -m convergent correlation --a {input.a} --b {input.b} --between {input.between}"
        " --output {output} > {log} 2>&1"


rule mutual_information:
    """Mutual information of all units of a pair, beside their correlation."""
    input:
        activations_a="<results>/activations/{a}.zarr",
        activations_b="<results>/activations/{b}.zarr",
        edges_a="<results>/edges/{a}.zarr",
        edges_b="<results>/edges/{b}.zarr",
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/mutual_information/{a}--{b}.zarr"),
    log:
        "<logs>/mutual_information/{a}--{b}.log",
    benchmark:
        "<benchmarks>/mutual_information/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("mutual_information"),
        engine="threads",
        tasks=1,
        runtime=minutes("mutual_information"),
    params:
        permutations=EXPERIMENT.moments.permutations,
        code=code_digest("steps.mutual_information"),
    shell:
        "python -m convergent mutual_information"
        " --activations-a {input.activations_a} --activations-b {input.activations_b}"
        " --edges-a {input.edges_a} --edges-b {input.edges_b} --a {input.a} --b {input.b} --between {input.between}"
        " --permutations {params.permutations} --engine {resources.engine} --workers {resources.tasks} --threads {threads}"
        " --output {output} > {log} 2>&1"


rule matching:
    """Match the units of a pair, each with its best partner and one to one."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        pooled_a="<results>/pooled/{a}.zarr",
        pooled_b="<results>/pooled/{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/matching/{a}--{b}.zarr"),
    log:
        "<logs>/matching/{a}--{b}.log",
    benchmark:
        "<benchmarks>/matching/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("matching"),
        runtime=minutes("matching"),
    params:
        settings=settings("matching"),
        code=code_digest("steps.matching"),
    shell:
        "python -m convergent matching --a {input.a} --b {input.b} --between {input.between}"
        " --pooled-a {input.pooled_a} --pooled-b {input.pooled_b} --settings {params.settings:q}"
        " --output {output} > {log} 2>&1"


rule sparse_prediction:
    """Predict each unit of one network from few units of the other."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/sparse_prediction/{a}--{b}.zarr"),
    log:
        "<logs>/sparse_prediction/{a}--{b}.log",
    benchmark:
        "<benchmarks>/sparse_prediction/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("sparse_prediction"),
        engine="threads",
        tasks=1,
        runtime=minutes("sparse_prediction"),
    params:
        settings=settings("sparse_prediction"),
        code=code_digest("steps.sparse_prediction"),
    shell:
        "python -m convergent sparse_prediction --a {input.a} --b {input.b} --between {input.between}"
        " --settings {params.settings:q} --engine {resources.engine} --workers {resources.tasks} --threads {threads}"
        " --output {output} > {log} 2>&1"


rule clustering:
    """Cluster the units of both networks together."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        sparse_prediction="<results>/measures/sparse_prediction/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/clustering/{a}--{b}.zarr"),
    log:
        "<logs>/clustering/{a}--{b}.log",
    benchmark:
        "<benchmarks>/clustering/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("clustering"),
        engine="threads",
        runtime=minutes("clustering"),
    params:
        settings=settings("clustering"),
        code=code_digest("steps.clustering", "measures.nystroem"),
    shell:
        "python -m convergent clustering --a {input.a} --b {input.b} --between {input.between}"
        " --sparse-prediction {input.sparse_prediction} --settings {params.settings:q} --engine {resources.engine}"
        " --output {output} > {log} 2>&1"


rule subspace_match:
    """Match subspaces: the largest sets of units of a pair that span one another."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/subspace_match/{a}--{b}.zarr"),
    log:
        "<logs>/subspace_match/{a}--{b}.log",
    benchmark:
        "<benchmarks>/subspace_match/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("subspace_match"),
        runtime=minutes("subspace_match"),
    params:
        settings=settings("subspace_match"),
        code=code_digest("steps.subspace_match"),
    shell:
        "python -m convergent subspace_match --a {input.a} --b {input.b} --between {input.between}"
        " --settings {params.settings:q} --output {output} > {log} 2>&1"


rule subspace_match_sampled:
    """Match subspaces from samples drawn as in the paper."""
    input:
        a="<results>/activations/{a}.zarr",
        b="<results>/activations/{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/subspace_match_sampled/{a}--{b}.zarr"),
    log:
        "<logs>/subspace_match_sampled/{a}--{b}.log",
    benchmark:
        "<benchmarks>/subspace_match_sampled/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("subspace_match_sampled"),
        engine="threads",
        tasks=1,
        runtime=minutes("subspace_match_sampled"),
    params:
        settings=settings("subspace_match_sampled"),
        code=code_digest("steps.subspace_match_sampled"),
    shell:
        "python -m convergent subspace_match_sampled --a {input.a} --b {input.b} --settings {params.settings:q}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads} --output {output} > {log} 2>&1"


rule similarity:
    """Compare whole layers of a pair: CKA, CCA, Procrustes."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        pooled_a="<results>/pooled/{a}.zarr",
        pooled_b="<results>/pooled/{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/similarity/{a}--{b}.zarr"),
    log:
        "<logs>/similarity/{a}--{b}.log",
    benchmark:
        "<benchmarks>/similarity/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("similarity"),
        runtime=minutes("similarity"),
    params:
        settings=settings("similarity"),
        code=code_digest("steps.similarity"),
    shell:
        "python -m convergent similarity --a {input.a} --b {input.b} --between {input.between}"
        " --pooled-a {input.pooled_a} --pooled-b {input.pooled_b} --settings {params.settings:q}"
        " --output {output} > {log} 2>&1"


rule cross_layer:
    """Compare every layer of a network with every layer of the other."""
    input:
        a="<results>/pooled/{a}.zarr",
        b="<results>/pooled/{b}.zarr",
        inspected=ancient(inspected_of("a", "b")),
    output:
        directory("<results>/measures/cross_layer/{a}--{b}.zarr"),
    log:
        "<logs>/cross_layer/{a}--{b}.log",
    benchmark:
        "<benchmarks>/cross_layer/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("cross_layer"),
        runtime=minutes("cross_layer"),
    params:
        code=code_digest("steps.cross_layer"),
    shell:
        "python -m convergent cross_layer --a {input.a} --b {input.b} --output {output} > {log} 2>&1"


rule layer_pairs:
    """Compare every layer of a network with every layer of another, unit by unit on matched grids."""
    input:
        a="<results>/activations/{a}.zarr",
        b="<results>/activations/{b}.zarr",
        inspected=ancient(inspected_of("a", "b")),
    output:
        directory("<results>/measures/layer_pairs/{a}--{b}.zarr"),
    log:
        "<logs>/layer_pairs/{a}--{b}.log",
    benchmark:
        "<benchmarks>/layer_pairs/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("layer_pairs"),
        engine="threads",
        tasks=1,
        runtime=minutes("layer_pairs"),
    params:
        settings=settings("moments"),
        code=code_digest("steps.layer_pairs"),
    shell:
        "python -m convergent layer_pairs --a {input.a} --b {input.b} --settings {params.settings:q}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads} --output {output} > {log} 2>&1"


rule rsa:
    """Compare the dissimilarities of the images in two networks."""
    input:
        a="<results>/rdms/{a}.zarr",
        b="<results>/rdms/{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/rsa/{a}--{b}.zarr"),
    log:
        "<logs>/rsa/{a}--{b}.log",
    benchmark:
        "<benchmarks>/rsa/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("rsa"),
        runtime=minutes("rsa"),
    params:
        permutations=EXPERIMENT.rsa.permutations,
        code=code_digest("steps.rsa"),
    shell:
        "python -m convergent rsa --a {input.a} --b {input.b} --permutations {params.permutations}"
        " --output {output} > {log} 2>&1"


rule maps:
    """Fit the maps that put the units of one network of a pair in the place of those of the other."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/maps/{a}--{b}.zarr"),
    log:
        "<logs>/maps/{a}--{b}.log",
    benchmark:
        "<benchmarks>/maps/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("maps"),
        runtime=minutes("maps"),
    params:
        settings=settings("stitching"),
        code=code_digest("steps.maps"),
    shell:
        "python -m convergent maps --a {input.a} --b {input.b} --between {input.between}"
        " --settings {params.settings:q} --output {output} > {log} 2>&1"


rule stitching:
    """Replace every layer of one network of a pair by that of the other, and count what is answered right."""
    input:
        training_a=training_of("a"),
        training_b=training_of("b"),
        probe=probe_of("a"),
        maps="<results>/maps/{a}--{b}.zarr",
        untrained=untrained_maps,
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/stitching/{a}--{b}.zarr"),
    log:
        "<logs>/stitching/{a}--{b}.log",
    benchmark:
        "<benchmarks>/stitching/{a}--{b}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=peak("stitching"),
        runtime=minutes("stitching"),
        gpu=GPU,
    params:
        recipe=recipe,
        layers=layers_of_pair,
        stage=lambda wildcards: stage_of(wildcards.a),
        batch=EXPERIMENT.recording.batch,
        code=code_digest("steps.stitching"),
    shell:
        "python -m convergent stitching --recipe {params.recipe:q} --inspected {input.inspected}"
        " --layers {params.layers:q} --training-a {input.training_a} --training-b {input.training_b}"
        " --stage {params.stage} --probe {input.probe} --maps {input.maps} --untrained {input.untrained}"
        " --batch {params.batch} --threads {threads} --output {output} > {log} 2>&1"


rule unit_removal:
    """Remove units of both networks of a pair by how much they are shared, and count what is lost."""
    input:
        training_a=training_of("a"),
        training_b=training_of("b"),
        probe=probe_of("a"),
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        matching="<results>/measures/matching/{a}--{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/measures/unit_removal/{a}--{b}.zarr"),
    log:
        "<logs>/unit_removal/{a}--{b}.log",
    benchmark:
        "<benchmarks>/unit_removal/{a}--{b}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=peak("unit_removal"),
        runtime=minutes("unit_removal"),
        gpu=GPU,
    params:
        recipe=recipe,
        layers=layers_of_pair,
        stage=lambda wildcards: stage_of(wildcards.a),
        settings=settings("unit_removal"),
        batch=EXPERIMENT.recording.batch,
        code=code_digest("steps.unit_removal"),
    shell:
        "python -m convergent unit_removal --recipe {params.recipe:q} --inspected {input.inspected}"
        " --layers {params.layers:q} --training-a {input.training_a} --training-b {input.training_b}"
        " --stage {params.stage} --probe {input.probe} --a {input.a} --b {input.b} --matching {input.matching}"
        " --settings {params.settings:q} --batch {params.batch} --threads {threads} --output {output} > {log} 2>&1"


rule ensemble:
    """Average the answers of both networks of a pair."""
    input:
        a="<results>/predictions/{a}.zarr",
        b="<results>/predictions/{b}.zarr",
        inspected=ancient(inspected_of("a", "b")),
    output:
        directory("<results>/measures/ensemble/{a}--{b}.zarr"),
    log:
        "<logs>/ensemble/{a}--{b}.log",
    benchmark:
        "<benchmarks>/ensemble/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("ensemble"),
        runtime=minutes("ensemble"),
    params:
        settings=settings("ensemble"),
        code=code_digest("steps.ensemble"),
    shell:
        "python -m convergent ensemble --a {input.a} --b {input.b} --settings {params.settings:q}"
        " --output {output} > {log} 2>&1"
