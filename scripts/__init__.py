"""Development tools of this repository; none of them is shipped."""
