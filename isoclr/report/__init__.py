"""One HTML page about a person's transcripts: `make_report` finds, `write_report` draws."""

from isoclr.report.findings import Prediction, Report, make_report
from isoclr.report.page import report_page, write_report

__all__ = ["Prediction", "Report", "make_report", "report_page", "write_report"]
