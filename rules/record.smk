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
        runtime=minutes("record"),
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
        runtime=minutes("predictions"),
        gpu=GPU,
    params:
        recipe=recipe,
        batch=EXPERIMENT.recording.batch,
        code=code_digest("steps.predictions"),
    shell:
        "python -m convergent predictions --recipe {params.recipe:q} --training {input.training}"
        " --stage {wildcards.stage} --probe {input.probe} --batch {params.batch} --threads {threads}"
        " --output {output} > {log} 2>&1"


rule patches:
    """Cut out what the units shown of a pair look at: patches, attributions and preferred images."""
    input:
        unpack(shown_by),
        exemplars_a="<results>/exemplars/{a}.zarr",
        exemplars_b="<results>/exemplars/{b}.zarr",
        training_a=training_of("a"),
        training_b=training_of("b"),
        inspected=ancient(inspected_of("a")),
        probe=probe_of("a"),
    output:
        directory("<results>/patches/{a}--{b}.zarr"),
    log:
        "<logs>/patches/{a}--{b}.log",
    benchmark:
        "<benchmarks>/patches/{a}--{b}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=peak("patches"),
        runtime=minutes("patches"),
        gpu=GPU,
    params:
        recipe=recipe,
        settings=settings("patches"),
        shown=lambda wildcards, input: " ".join(
            f"--{measure.replace('_', '-')} {input[measure]}" for measure in shown_by(wildcards)
        ),
        code=code_digest("steps.patches"),
    shell:
        "python -m convergent patches --recipe {params.recipe:q} --settings {params.settings:q}"
        " --exemplars-a {input.exemplars_a} --exemplars-b {input.exemplars_b}"
        " --training-a {input.training_a} --training-b {input.training_b} --probe {input.probe}"
        " {params.shown} --threads {threads} --output {output} > {log} 2>&1"
