"""Market facts by date: calendar, contracts, lots, freeze quantities, charges, price rules."""
