"""Charts as data: what is drawn, on which axes. The HTML draws them as SVG; everybody else reads `says`."""
