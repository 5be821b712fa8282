"""Gray-box model inversion on MNIST: a small, tested core for an executable report.

Three floors; imports point down only:

* ground floor: tensors in, tensors out (``data``, ``models``, ``training``, ``defenses``, ``attacks``; ``metrics``,
  ``reidentification`` and ``ladder`` for what they reveal; ``randomness``, ``checks`` and ``errors``, which all use;
  ``reference``, the plain protocol that the rest is held against);
* ``study``: parameters, seeds, files, caching, and the tables of the thesis;
* ``report``: frames in, figures, tables and chapters out.
"""

__version__ = "0.1.0"
