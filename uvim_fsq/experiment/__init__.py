"""The paper's experiments: many runs from one plan, averaged in tables, shown in a report."""
