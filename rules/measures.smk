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
        mem_mb=moments_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_digest("steps.statistics"),
    shell:
        "python -m convergent statistics --activations {input.activations} --moments {input.moments}"
        " --threads {threads} --output {output} > {log} 2>&1"


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
        mem_mb=measure_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_digest("steps.correlation"),
    shell:
        "python -m convergent correlation --a {input.a} --b {input.b} --between {input.between}"
        " --output {output} > {log} 2>&1"


rule matching:
    """Match the units of a pair, each with its best partner and one to one."""
    input:
        a="<results>/moments/{a}.zarr",
        b="<results>/moments/{b}.zarr",
        between="<results>/moments/{a}--{b}.zarr",
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
        mem_mb=measure_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("matching"),
        code=code_digest("steps.matching"),
    shell:
        "python -m convergent matching --a {input.a} --b {input.b} --between {input.between}"
        " --settings {params.settings:q} --output {output} > {log} 2>&1"


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
        mem_mb=measure_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("sparse_prediction"),
        code=code_digest("steps.sparse_prediction"),
    shell:
        "python -m convergent sparse_prediction --a {input.a} --b {input.b} --between {input.between}"
        " --settings {params.settings:q} --output {output} > {log} 2>&1"


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
        mem_mb=measure_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("clustering"),
        code=code_digest("steps.clustering"),
    shell:
        "python -m convergent clustering --a {input.a} --b {input.b} --between {input.between}"
        " --sparse-prediction {input.sparse_prediction} --settings {params.settings:q} --output {output} > {log} 2>&1"
