"""What calls cost: the published prices of models (genai-prices), and the user's own."""
