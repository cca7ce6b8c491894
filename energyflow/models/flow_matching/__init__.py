"""Flow matching with independent, optimal-transport and conditional couplings."""
