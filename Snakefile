# Do independently trained neural networks learn the same representations?
# Table of contents: the configuration, the rules, and what is made in the end.
from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


include: "rules/common.smk"


pathvars:
    results=results_folder(),
    # shared by all experiments
    networks="results/networks",
    training="results/training",
    logs=f"{results_folder()}/logs",
    benchmarks=f"{results_folder()}/benchmarks",


wildcard_constraints:
    network="[a-z0-9_]+",
    networks="[a-z0-9_]+(--[a-z0-9_]+)?",
    stage="[a-z0-9_]+",
    data="[a-z0-9_]+",
    seed=r"\d+",
    snapshot=SNAPSHOT,
    a=SNAPSHOT,
    b=SNAPSHOT,


report: reading()


include: "rules/train.smk"
include: "rules/record.smk"
include: "rules/moments.smk"
include: "rules/measures.smk"
include: "rules/report.smk"


rule all:
    """Every result of the experiment; `snakemake --report` makes a page of it."""
    default_target: True
    input:
        "<results>/tables/summary.csv",
        "<results>/tables/reading.rst",
        figures(),
