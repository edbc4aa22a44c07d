"""Describes the action units (AUs) of clips in words: frames, events, subtitles, summaries.

Begin with `describing`, which describes tables of AUs that other programs wrote. `clips` divides
such tables into clips, `frames` describes every frame, `events` finds when AUs begin and end,
`event_tables` makes tables of events and summaries, and `wording` has the texts. `sheets`,
`subtitles`, `elan` and `textgrid` write files, `timeline` shows events in the terminal, and `api`
is ``fauds.events``, and ``fauds.describe`` for tables.
"""
