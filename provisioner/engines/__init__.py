"""The engine port and the engines behind it; they know neither the database nor quota."""
