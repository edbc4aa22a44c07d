"""Results to tables and pages: reads files, runs no model."""
