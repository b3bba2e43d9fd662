"""The Kolmogorov-Fokker-Planck equation of an `sde`, held against derived laws and against simulation."""
