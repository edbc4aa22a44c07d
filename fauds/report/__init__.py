"""Results to tables, figures and pages: reads files, runs no model.

Begin with `tables`, which says what a table of figures holds, whatever shows it. `markdown`,
`latex` and `html/` write reports; `listing`, `compare`, `protocol` and `captions` are printed;
`figures`, `caption_figures` and `face_sheet` are drawn.
"""
