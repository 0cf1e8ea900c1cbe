"""What figures are made of: panels, bars, lines, points, styles."""
