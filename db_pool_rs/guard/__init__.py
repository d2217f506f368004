"""The guard: what the words of a text do not tell (docs/scheduling.md, rules 8.1 to 8.7).

Functions, triggers, rules, defaults, views and policies hide what a text does. So a text is grouped only if both its
words and the catalogue say that it cannot notice company.

    catalog.sql   the one query, by rule
    words         what matters in the body of a function
    findings      from the query's rows to names with reasons
    verdicts      what may be grouped, text by text
    keeper        when the catalogue is read, and read again
    explanation   how a text is treated, for those who ask
"""
