"""Gray-box model inversion on MNIST: a small, tested core for an executable report.

Three floors; imports point down only:

* ground floor (``data``, ``models``, ``training``, ``defenses``, ``metrics``, ``attacks``): tensors in, tensors out;
* ``study``: parameters, seeds, files, caching, and the tables of the thesis;
* ``report``: frames in, figures, tables and chapters out.
"""

__version__ = "0.1.0"
