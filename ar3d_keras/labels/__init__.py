"""Labels as annotation tools and data sets write them: one file per format, with reader and writer."""
