"""Attacks: gradient reconstruction (X~), activation recovery (A_L) and the inverse model (M_I)."""
