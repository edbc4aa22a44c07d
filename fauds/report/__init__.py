"""Turns the results of runs into tables, figures and pages; reads files and runs no model.

Begin with `tables`, which defines tables of metric values independently of their output format.
`markdown`, `latex` and `html/` write reports; `listing`, `compare`, `protocol` and `captions`
print to the terminal; `charts`, `caption_figures`, `au_map_figures`, `features` and `contact_sheet`
draw images.
"""
