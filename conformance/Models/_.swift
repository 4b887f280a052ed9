// Model-based runs: the engine, the models and what judges histories.
