rule summary:
    """Gather every result in one tidy table, and say it in words."""
    input:
        stores=all_stores(),
        trainings=all_trainings(),
        probes=all_probes(),
        inspected=ancient(expand("<networks>/{network}.json", network=EXPERIMENT.networks)),
    output:
        table=report(
            "<results>/tables/summary.csv",
            caption="captions/summary.rst",
            category="Table",
            labels={"table": "every statistic with its error and its nulls"},
        ),
        reading="<results>/tables/reading.rst",
    log:
        "<logs>/summary.log",
    benchmark:
        "<benchmarks>/summary.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("summary"),
        runtime=minutes("summary"),
    params:
        comparisons=comparison_list(),  # by standard input: of many seeds it is longer than an argument may be
        name=f"--name {EXPERIMENT.name}" if EXPERIMENT.name else "",
        folder=lambda wildcards, input: Path(input.stores[0]).parents[1],
        code=code_digest("steps.summary"),
    shell:
        "python -m convergent summary --comparisons - <<< {params.comparisons:q} {params.name}"
        " --trainings {input.trainings} --probes {input.probes}"
        " --folder {params.folder} --table {output.table} --reading {output.reading} > {log} 2>&1"


rule figure:
    """Draw one figure of a comparison and network."""
    input:
        stores=figure_stores,
        untrained=figure_untrained,
        inspected=ancient(figure_inspected),
    output:
        png=report(
            "<results>/figures/{comparison}/{networks}/{figure}.png",
            caption="captions/figure.rst",
            category="{comparison}",
            subcategory="{networks}",
            labels={"figure": "{figure}"},
        ),
        pdf="<results>/figures/{comparison}/{networks}/{figure}.pdf",
    log:
        "<logs>/figure/{comparison}/{networks}/{figure}.log",
    benchmark:
        "<benchmarks>/figure/{comparison}/{networks}/{figure}.tsv"
    conda:
        "../envs/statistics.yaml"
    threads: 1
    resources:
        mem_mb=peak("figure"),
        runtime=minutes("figure"),
    params:
        code=lambda wildcards: code_digest("steps.figure", f"figures.{wildcards.figure}"),
    shell:
        "python -m convergent figure --figure {wildcards.figure} --stores {input.stores}"
        " --untrained {input.untrained} --output {output} > {log} 2>&1"
