"""The results table: columns, units, records, provenance."""
