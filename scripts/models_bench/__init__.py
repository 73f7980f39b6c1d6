"""What a streamed call costs through the models service, beside the bare SDK and the LiteLLM proxy.

`bench_models.py` measures; here are the endpoint all of them call, the processes in between, and the calls.
"""
