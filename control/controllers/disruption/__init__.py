"""What a PodDisruptionBudget allows, and evictions that never came: upstream's disruption controller."""
