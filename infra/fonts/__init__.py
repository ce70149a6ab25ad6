"""The one font of figures and reports, cut and merged from Noto Sans (OFL)."""
