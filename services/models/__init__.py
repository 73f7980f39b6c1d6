"""Language models behind one vocabulary: the catalogue, the providers' adapters, streaming and cost.

Knows nothing of runs, tools or the record: a call comes in, a stream goes out, nothing is kept.
"""
