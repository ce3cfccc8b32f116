rule probe:
    """Choose the images on which all networks of a data set are recorded."""
    output:
        directory("<results>/probe/{data}.zarr"),
    log:
        "<logs>/probe/{data}.log",
    benchmark:
        "<benchmarks>/probe/{data}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=least("probe"),
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        image_size=image_size,
        settings=settings("probe"),
        code=code_digest("steps.probe"),
    shell:
        "python -m convergent probe --data {wildcards.data} {params.image_size} --settings {params.settings:q}"
        " --output {output} > {log} 2>&1"


rule record:
    """Record the activations of a snapshot on the probe, in full and as spatial means."""
    input:
        training="<training>/{network}-s{seed}",
        inspected="<networks>/{network}.json",
        probe=lambda wildcards: f"<results>/probe/{RECIPES[wildcards.network].data}.zarr",
    output:
        activations=directory("<results>/activations/{network}-s{seed}-{stage}.zarr"),
        pooled=directory("<results>/pooled/{network}-s{seed}-{stage}.zarr"),
    log:
        "<logs>/record/{network}-s{seed}-{stage}.log",
    benchmark:
        "<benchmarks>/record/{network}-s{seed}-{stage}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=peak("record"),
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=GPU,
    params:
        recipe=recipe,
        settings=settings("recording"),
        layers=layers,
        code=code_digest("steps.record"),
    shell:
        "python -m convergent record --recipe {params.recipe:q} --settings {params.settings:q}"
        " --inspected {input.inspected} --training {input.training} --stage {wildcards.stage}"
        " --layers {params.layers:q} --probe {input.probe} --threads {threads}"
        " --activations {output.activations} --pooled {output.pooled} > {log} 2>&1"


rule predictions:
    """Record what a snapshot answers to the probe."""
    input:
        training="<training>/{network}-s{seed}",
        inspected="<networks>/{network}.json",
        probe=lambda wildcards: f"<results>/probe/{RECIPES[wildcards.network].data}.zarr",
    output:
        directory("<results>/predictions/{network}-s{seed}-{stage}.zarr"),
    log:
        "<logs>/predictions/{network}-s{seed}-{stage}.log",
    benchmark:
        "<benchmarks>/predictions/{network}-s{seed}-{stage}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=peak("predictions"),
        runtime=lambda wildcards, attempt: 60 * attempt,
        gpu=GPU,
    params:
        recipe=recipe,
        batch=EXPERIMENT.recording.batch,
        code=code_digest("steps.predictions"),
    shell:
        "python -m convergent predictions --recipe {params.recipe:q} --training {input.training}"
        " --stage {wildcards.stage} --probe {input.probe} --batch {params.batch} --threads {threads}"
        " --output {output} > {log} 2>&1"
