"""One HTML page about a person's transcripts: `make_report` finds, `write_report` draws."""

from isoclr.report.findings import Report, make_report
from isoclr.report.page import report_page, write_report
from isoclr.report.predictions import Prediction

__all__ = ["Prediction", "Report", "make_report", "report_page", "write_report"]
