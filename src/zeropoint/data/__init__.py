"""From text to training batches: documents, tokenization, shards on disk, and batches by number.

`corpus` opens a data set, file or folder for language modelling, `parallel_corpus` for translation. Then read
`documents`, `tokenize`, `shards` (text to ids) and `batches`, `pack`, `completion_loss` (ids to batches).
"""
