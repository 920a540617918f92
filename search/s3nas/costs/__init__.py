"""What blocks and networks cost: tables, models of cost, imported figures."""
