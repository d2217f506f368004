"""What `verify_migration` is made of.

answers.py    what a caller sees of a statement, as values that two modes can be compared by
checks.py     the questions that every database can be asked without writing anything
writing.py    those that need tables of their own
userdata.py   the user's own tables, read by both modes in one snapshot
battery.py    both modes side by side: which answers are equal, which differ
settings.py   what the configuration becomes; config.yaml changed, with a backup, and restored
"""
