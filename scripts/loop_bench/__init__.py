"""The agent loop of Astra, measured beside a bare openai loop and LangGraph: what `make bench loop` runs.

`assignment` says what every contender has to do, `model_server` plays the model for all of them alike. Each
contender (`astra_loop`, `openai_loop`, `langgraph_loop`) is a process of its own behind `contender`'s
protocol; `measuring` has them take turns, `report` puts the figures beside each other.
"""
