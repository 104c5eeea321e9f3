"""The engine port and the engines that implement it; neither the database nor quota."""
