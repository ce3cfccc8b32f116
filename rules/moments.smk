rule within:
    """Sum a snapshot up into its moments."""
    input:
        activations="<results>/activations/{snapshot}.zarr",
        inspected=ancient(inspected_of("snapshot")),
    output:
        directory("<results>/moments/{snapshot}.zarr"),
    log:
        "<logs>/within/{snapshot}.log",
    benchmark:
        "<benchmarks>/within/{snapshot}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("within"),
        engine="threads",
        tasks=1,
        runtime=minutes("within"),
    params:
        precision=EXPERIMENT.moments.precision,
        code=code_digest("steps.within"),
    shell:
        "python -m convergent within --activations {input.activations} --precision {params.precision}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads} --output {output} > {log} 2>&1"


rule between:
    """Sum a pair of snapshots up into their moments, as they are and with the images of B permuted."""
    input:
        a="<results>/activations/{a}.zarr",
        b="<results>/activations/{b}.zarr",
        inspected=ancient(inspected_of("a")),
    output:
        directory("<results>/moments/{a}--{b}.zarr"),
    log:
        "<logs>/between/{a}--{b}.log",
    benchmark:
        "<benchmarks>/between/{a}--{b}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("between"),
        engine="threads",
        tasks=1,
        runtime=minutes("between"),
    params:
        settings=settings("moments"),
        code=code_digest("steps.between"),
    shell:
        "python -m convergent between --a {input.a} --b {input.b} --settings {params.settings:q}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads} --output {output} > {log} 2>&1"


rule edges:
    """Take the edges of the bins of every unit of a snapshot, for mutual information."""
    input:
        activations="<results>/activations/{snapshot}.zarr",
        inspected=ancient(inspected_of("snapshot")),
    output:
        directory("<results>/edges/{snapshot}.zarr"),
    log:
        "<logs>/edges/{snapshot}.log",
    benchmark:
        "<benchmarks>/edges/{snapshot}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("edges"),
        engine="threads",
        tasks=1,
        runtime=minutes("edges"),
    params:
        settings=settings("mutual_information"),
        code=code_digest("steps.edges"),
    shell:
        "python -m convergent edges --activations {input.activations} --settings {params.settings:q}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads}"
        " --output {output} > {log} 2>&1"


rule rdm:
    """Compute the dissimilarities of the images of a snapshot."""
    input:
        activations="<results>/activations/{snapshot}.zarr",
        inspected=ancient(inspected_of("snapshot")),
    output:
        directory("<results>/rdms/{snapshot}.zarr"),
    log:
        "<logs>/rdm/{snapshot}.log",
    benchmark:
        "<benchmarks>/rdm/{snapshot}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("rdm"),
        engine="threads",
        tasks=1,
        runtime=minutes("rdm"),
    params:
        images=EXPERIMENT.rsa.images,
        code=code_digest("steps.rdm"),
    shell:
        "python -m convergent rdm --activations {input.activations} --images {params.images}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads}"
        " --output {output} > {log} 2>&1"


rule exemplars:
    """Find the images that excite every unit of a snapshot most."""
    input:
        activations="<results>/activations/{snapshot}.zarr",
        inspected=ancient(inspected_of("snapshot")),
    output:
        directory("<results>/exemplars/{snapshot}.zarr"),
    log:
        "<logs>/exemplars/{snapshot}.log",
    benchmark:
        "<benchmarks>/exemplars/{snapshot}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("exemplars"),
        engine="threads",
        tasks=1,
        runtime=minutes("exemplars"),
    params:
        images=EXPERIMENT.patches.images,
        code=code_digest("steps.exemplars"),
    shell:
        "python -m convergent exemplars --activations {input.activations} --images {params.images}"
        " --engine {resources.engine} --workers {resources.tasks} --threads {threads}"
        " --output {output} > {log} 2>&1"
