"""Which classes make up a superclass: files, and what reads them.

A hierarchy is a JSON file of class names by superclass,

    {"aquatic mammals": ["beaver", "dolphin", …], "fish": […], …}

or with more levels, the coarsest outside:

    {"Animals & Nature": {"animal-mammal": ["dog", …], "animal-bird": […]}, …}

`cifar100.json` here has the 20 superclasses of CIFAR-100 (Krizhevsky 2009).
"""
