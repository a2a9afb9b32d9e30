"""One module a format, found by its file name.

SUFFIXES = (".pdf",)            file name endings it reads
MEDIA = "application/pdf"       media type of its documents
VERSION = 1                     raised when equal files give other text; documents are then read again
ISOLATE = True                  run in a process of its own, which may crash or hang without harm
def read(path) -> Draft         raises Refused with the reason, UsageError for a missing extra
def sniff(head, path) -> bool   optional: whether the content is this format for certain
"""
