"""Tables in documents that scripts write, between two marks."""


def replace(document, begin, end, table):
    """Puts a table between the marks of a document."""
    before, rest = document.read_text().split(begin)
    document.write_text(before + begin + table + end + rest.split(end)[1])
