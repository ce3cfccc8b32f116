"""Names of measures by the networks they are for.

The Snakefile imports this module: no scientific library.
"""

# Measures of networks with different layers, or of none; those of networks at one stage; and those of what networks
# answer, of which an untrained one has nothing to lose.
ACROSS_NETWORKS = ("statistics", "cross_layer", "layer_pairs", "ensemble")
OF_ONE_STAGE = ("statistics", "stitching", "unit_removal")
OF_ANSWERS = ("stitching", "unit_removal", "ensemble")
# Measures that tell how alike the last layers of two networks are; the first, where it is computed, of any two.
ALIKE = ("layer_pairs", "matching")
