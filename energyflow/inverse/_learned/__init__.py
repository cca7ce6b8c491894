"""What a posterior learns besides its networks: units of parameters, regression, components."""
