"""What is done in asyncio's own way because anyio's is not enough, or takes longer."""
