"""One module a detector: an anomalib module, named by a yaml in conf/model/."""
