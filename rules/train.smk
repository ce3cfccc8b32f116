rule inspect:
    """Name the layers of a network; unknown layers fail here, before any training."""
    output:
        "<networks>/{network}.json",
    log:
        "<logs>/inspect/{network}.log",
    benchmark:
        "<benchmarks>/inspect/{network}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=least("inspect"),
        runtime=lambda wildcards, attempt: 10 * attempt,
        # Layers to check; Snakemake does not compare resources, and other layers are no reason to train again.
        layers=LAYERS,
    params:
        recipe=recipe,
        # With the recipe all that decides the graph. Training depends on this file, so nothing else may make it anew.
        identity=identity,
    shell:
        "python -m convergent inspect --network {wildcards.network} --recipe {params.recipe:q}"
        " --layers {resources.layers:q} --output {output} > {log} 2>&1"


rule train:
    """Train a network from one seed; shared by all experiments, made anew only when recipe or code change."""
    input:
        inspected="<networks>/{network}.json",
    output:
        directory("<training>/{network}-s{seed}"),
    log:
        "<logs>/train/{network}-s{seed}.log",
    benchmark:
        "<benchmarks>/train/{network}-s{seed}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: lambda wildcards: RECIPES[wildcards.network].training.threads
    resources:
        mem_mb=peak("train"),
        runtime=minutes_of_training,
        gpu=GPU,
    params:
        recipe=recipe,
        code=code_digest("steps.train"),
    shell:
        "python -m convergent train --recipe {params.recipe:q} --seed {wildcards.seed} --threads {threads}"
        " --output {output} > {log} 2>&1"
