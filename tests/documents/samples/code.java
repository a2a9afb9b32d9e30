/*
 * Copyright 2026 the club.
 */
package club.shop;

import java.util.List;

/**
 * A member's basket.
 * <p>Baskets are emptied after <b>30</b> minutes.
 */
public class Cart {
    private final List<String> items = List.of("for (x) {");

    /**
     * Adds an article.
     *
     * @param name  what it is called
     * @return whether it was there before
     */
    @Override
    public boolean add(String name,
                       int count) throws IllegalStateException {
        if (count > 3) {
            return items.contains(name);
        }
        for (String one : items) {
            check(one);
        }
        return false;
    }

    // Taxes are 12 percent.
    static double tax(double sum) { return sum * 0.12; }

    enum State { OPEN, PAID }
}
