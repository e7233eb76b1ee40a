"""Results that others computed: read from their files, stored and judged like a run of our own."""
