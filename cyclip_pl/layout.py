"""clip_benchmark's folder layout of an evaluation set: its file names, and ours beside them.

<set>/classnames.txt, …           the files of `SIDE_FILES`
<set>/<split>/nshards.txt         the number of shards of a split
<set>/<split>/{0..nshards-1}.tar  the shards
"""

CLASSNAMES = "classnames.txt"  # one class name per line; line 0 is class 0
TEMPLATES = "zeroshot_classification_templates.txt"  # one prompt per line, {c} for the class name
DATASET_TYPE = "dataset_type.txt"  # "classification" or "retrieval"; may be missing
HIERARCHY = "hierarchy.json"  # superclasses; ours, may be missing
SIDE_FILES = (CLASSNAMES, TEMPLATES, DATASET_TYPE, HIERARCHY)
NSHARDS = "nshards.txt"
