"""Tables with named columns: data frames of any library, and CSV files."""
