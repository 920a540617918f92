"""The stages of S3NAS: search, scaling, post-processing, training, all of them in a row, and the study of them."""
