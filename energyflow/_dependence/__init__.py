"""Whether paired samples depend on each other: distance covariance, correlation and their tests."""
