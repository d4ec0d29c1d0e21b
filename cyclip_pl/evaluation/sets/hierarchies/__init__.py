"""Superclasses: files that say which classes they contain, and their reader.

A hierarchy is a JSON file of class names by superclass,

    {"aquatic mammals": ["beaver", "dolphin", …], "fish": […], …}

or with several levels, the coarsest outside:

    {"Animals & Nature": {"animal-mammal": ["dog", …], "animal-bird": […]}, …}

`cifar100.json` here has the 20 superclasses of CIFAR-100 (Krizhevsky 2009).
"""
