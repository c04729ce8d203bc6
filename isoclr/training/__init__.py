"""The engine of train.py: recipes, schedules, processes, checkpoints, logs."""
