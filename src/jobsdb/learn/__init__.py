"""`jobsdb explain` and `jobsdb docs`: what the database says of itself.

catalog                the objects, comments, sources, rights, read once
explain                what happens when, in firing order
docs                   docs/reference/, written or compared
pages, lists           a page for each object; tables over many of them
examples, pictures     statements with what they answered; Mermaid and SVG
"""
